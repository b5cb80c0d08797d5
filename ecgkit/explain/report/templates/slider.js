(() => {
  // Units of all that is drawn: 5 µV upwards, and samples of 10 ms that are 5 units wide.
  const decode = (text, Kind) => new Kind(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);

  const path = heights => heights.reduce((d, y, i) => {
    if (i === 0) return `M0 ${-y}l`;
    const step = heights[i - 1] - y;
    return `${d}${i > 1 ? " " : ""}5${step < 0 ? "" : "+"}${step}`;
  }, "");

  function start(figure) {
    figure.dataset.ready = "";
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const original = decode(data.original, Int16Array), edits = decode(data.edits, Int8Array);
    const input = figure.querySelector("input"), said = figure.querySelector(".said");
    const traces = figure.querySelectorAll(".after"), rows = figure.querySelectorAll("tbody tr");

    function show() {
      const k = Number(input.value), answer = data.answers[k];
      let first = 0;
      traces.forEach((trace, strip) => {
        const scale = answer.scales[strip], edit = edits.subarray(k * original.length + first);
        const heights = Array.from(original.subarray(first, first + data.lengths[strip]), (y, i) => y + scale * edit[i]);
        trace.setAttribute("d", path(heights));
        first += heights.length;
      });
      rows.forEach((row, i) => {
        const [value, change, beyond] = answer.cells[i];
        row.cells[2].textContent = value;
        row.cells[3].textContent = change;
        row.classList.toggle("beyond", beyond);
      });
      said.textContent = answer.said;
      input.setAttribute("aria-valuetext", answer.said);
    }

    input.addEventListener("input", show);
    show();
  }

  document.querySelectorAll(".ecgkit-slider:not([data-ready])").forEach(start);
})();
