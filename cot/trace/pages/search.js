"use strict";
const field = document.getElementById("search");
const rows = Array.from(document.querySelectorAll("#index tbody tr"));
const texts = rows.map((row) => row.textContent.toLowerCase());
function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, index) => {
    row.hidden = !words.every((word) => texts[index].includes(word));
    shown += row.hidden ? 0 : 1;
  });
  document.getElementById("count").textContent = `${shown} of ${rows.length}`;
}
field.addEventListener("input", search);
search();
