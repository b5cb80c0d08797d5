"""What the label study's runs say together: methods side by side, labels saved, rare labels."""
