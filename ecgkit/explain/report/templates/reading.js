(() => {
  const form = document.querySelector("form"), set = form.dataset.set, place = `ecgkit-reading-${set}`;
  const cases = [...document.querySelectorAll("section.case")], said = form.querySelector("[role=status]");
  let at = 0, keeps = true;

  // What a case has been answered; a field that was not touched is left out.
  function answer(part) {
    const checked = field => [...part.querySelectorAll(`[data-field=${field}]:checked`)].map(input => input.value);
    const [verdict] = checked("verdict"), [sure] = checked("sure"), [fits] = checked("fits"), labels = checked("labels");
    return {...(verdict && {verdict}), ...(sure && {sure: Number(sure)}), ...(labels.length && {labels}), ...(fits && {fits})};
  }

  function answered(part) {
    const given = answer(part);
    if (part.classList.contains("pair")) return Boolean(given.fits);
    return Boolean(given.verdict && given.labels && (given.sure || given.verdict === "cannot tell"));
  }

  function written() {
    const answers = {};
    cases.forEach(part => {
      const given = answer(part);
      if (Object.keys(given).length) answers[part.dataset.case] = given;
    });
    return {set, reader: form.elements.reader.value.trim(), role: form.elements.role.value, kind: "person", answers};
  }

  function progress() {
    const done = cases.filter(answered).length;
    form.querySelector("progress").value = done;
    const text = `${done} of ${cases.length} answered${keeps ? "" : ". This browser keeps nothing: save before you leave"}`;
    // Said anew only where it changed: a screen reader speaks each time.
    if (said.textContent !== text) said.textContent = text;
  }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify({...written(), at}));
    } catch {
      keeps = false;
    }
    progress();
  }

  function recall() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(place)) ?? {};
    } catch {
      keeps = false;
    }
    form.elements.reader.value = kept.reader ?? "";
    form.elements.role.value = kept.role ?? "";
    cases.forEach(part => {
      const given = kept.answers?.[part.dataset.case] ?? {};
      part.querySelectorAll("[data-field]").forEach(input => {
        input.checked = [given[input.dataset.field] ?? []].flat().map(String).includes(input.value);
      });
    });
    return Math.min(Math.max(Number(kept.at) || 0, 0), cases.length - 1);
  }

  function show(k) {
    at = k;
    cases.forEach((part, i) => { part.hidden = i !== k; });
    form.querySelector("[data-go='-1']").disabled = k === 0;
    form.querySelector("[data-go='1']").disabled = k === cases.length - 1;
    keep();
  }

  // The heading of the next case takes the focus, so that keyboard and screen reader go on from there.
  function go(k) {
    show(k);
    form.querySelector("details").open = false;
    const title = cases[k].querySelector("h2");
    title.focus({preventScroll: true});
    title.scrollIntoView();
  }

  function save() {
    const told = {...written(), saved: new Date().toISOString()};
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(told, null, 1)], {type: "application/json"}));
    link.download = `answers-${told.reader.replace(/[^A-Za-z0-9]+/g, "-") || "reader"}-${set}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    progress();
    said.textContent += `. Saved as ${link.download}`;
  }

  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", keep);
  form.querySelectorAll("[data-go]").forEach(button => button.addEventListener("click", () => {
    if (button.dataset.go !== "open") return go(at + Number(button.dataset.go));
    const open = cases.findIndex((part, i) => i > at && !answered(part));
    const next = open < 0 ? cases.findIndex(part => !answered(part)) : open;
    if (next >= 0) go(next);
  }));
  form.querySelector(".save").addEventListener("click", save);
  show(recall());
})();
