"""What the pages of this book need, one file a page; imported by notebooks, the command line and tests only."""
