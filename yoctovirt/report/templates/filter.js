"use strict";
// Only the search and the number of what is shown need a script: the other filters are CSS.
(() => {
  const box = document.getElementById("filters");
  if (!box) return;
  const rows = [...document.querySelectorAll("#verdicts tr[data-check]")];
  const texts = rows.map((row) => row.querySelector(".what").textContent.toLowerCase());
  const search = document.getElementById("f-text");
  const told = document.getElementById("f-count");
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
    const shown = rows.filter((row) => row.offsetParent !== null).length;
    told.textContent = `${shown} of ${rows.length} shown`;
    for (const suite of document.querySelectorAll("#verdicts tbody")) {
      const head = suite.querySelector("tr:not([data-check])");
      head.hidden = false;
      head.hidden = ![...suite.querySelectorAll("tr[data-check]")].some((row) => row.offsetParent !== null);
    }
  };
  search.closest("label").hidden = false;
  box.addEventListener("input", update);
  update();
})();
