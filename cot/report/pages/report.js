"use strict";
const PAGE_ROWS = 50;
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const texts = data.rows.map((row) =>
  [row.id, row.question, ...row.targets, ...row.answers.map((answer) => (answer && answer.answer) || "")].join("\n").toLowerCase());
let found = data.rows.map((_, index) => index);
let start = 0;

// Everything becomes text of an element, never markup.
function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function options(select, values) {
  for (const [value, text] of values) {
    const option = element("option", text);
    option.value = value;
    select.append(option);
  }
}

function distinct(name) {
  return [...new Set(data.rows.map((row) => row[name]))].sort();
}

function hasStatus(row, status, column) {
  const answers = column === "" ? row.answers : [row.answers[Number(column)]];
  return answers.some((answer) => answer && (status === "" || answer.status === status));
}

function differs(row) {
  return new Set(row.answers.filter(Boolean).map((answer) => answer.score ?? answer.status)).size > 1;
}

function search() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const task = at("task").value, category = at("category").value;
  const status = at("status").value, column = at("column").value;
  found = [];
  data.rows.forEach((row, index) => {
    if (task !== "" && row.task !== data.tasks[Number(task)]) return;
    if (category !== "" && row.category !== data.categories[Number(category)]) return;
    if (!hasStatus(row, status, column)) return;
    if (at("differing").checked && !differs(row)) return;
    if (words.every((word) => texts[index].includes(word))) found.push(index);
  });
  start = 0;
  show();
}

function show() {
  const rows = found.slice(start, start + PAGE_ROWS).map((index) => sample(data.rows[index]));
  at("samples").tBodies[0].replaceChildren(...rows);
  const end = Math.min(start + PAGE_ROWS, found.length);
  at("count").textContent = found.length ? `${start + 1} to ${end} of ${found.length}` : "0 found";
  at("previous").disabled = start === 0;
  at("next").disabled = end === found.length;
}

function sample(row) {
  const line = element("tr", undefined, "sample");
  const picture = element("td");
  if (row.picture !== null) {
    const image = element("img");
    image.alt = "";
    image.src = data.pictures[row.picture];
    picture.append(image);
  }
  line.append(picture, element("td", row.id), element("td", row.question), element("td", row.targets.join(" | ")));
  for (const answer of row.answers) line.append(answerCell(answer));
  line.tabIndex = 0;
  line.addEventListener("click", () => toggle(line, row));
  line.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(line, row); });
  return line;
}

function answerCell(answer) {
  if (!answer) return element("td", "–");
  return element("td", answer.answer === null ? answer.status : answer.answer, answer.status);
}

function toggle(line, row) {
  const next = line.nextElementSibling;
  if (next && next.classList.contains("detail")) {
    next.remove();
    return;
  }
  const detail = element("tr", undefined, "detail");
  const cell = element("td");
  cell.colSpan = line.cells.length;
  cell.append(element("p", `${row.task}${row.category ? ", " + row.category : ""}`, "quiet"));
  if (row.choices.length) cell.append(element("p", `choices: ${row.choices.join(", ")}`));
  row.answers.forEach((answer, index) => { if (answer) describe(cell, answer, data.columns[index]); });
  detail.append(cell);
  line.after(detail);
}

function describe(cell, answer, column) {
  cell.append(element("h4", column));
  const score = answer.score === null ? "no score" : `score ${answer.score}`;
  cell.append(element("p", `${answer.status}, ${score}, confidence ${answer.confidence ?? "unknown"}, ${answer.tokens} tokens, ${answer.seconds} s: ${answer.why}`, answer.status));
  if (answer.steps.length) {
    const steps = element("ol");
    for (const step of answer.steps) steps.append(element("li", step));
    cell.append(steps);
  }
  if (answer.trace) cell.append(element("p", `cot trace show ${answer.trace}`, "quiet"));
}

const head = element("tr");
for (const name of ["image", "id", "question", "ground truth", ...data.columns]) head.append(element("th", name));
at("samples").tHead.append(head);
data.tasks = distinct("task");
data.categories = distinct("category");
options(at("task"), [["", "all"], ...data.tasks.map((name, index) => [String(index), name])]);
options(at("category"), [["", "all"], ...data.categories.map((name, index) => [String(index), name || "none"])]);
options(at("column"), [["", "any"], ...data.columns.map((name, index) => [String(index), name])]);
options(at("status"), [["", "any"], ...["correct", "partial", "wrong", "unparsed", "errored"].map((name) => [name, name])]);
for (const id of ["search", "task", "category", "column", "status", "differing"]) at(id).addEventListener("input", search);
at("previous").addEventListener("click", () => { start -= PAGE_ROWS; show(); });
at("next").addEventListener("click", () => { start += PAGE_ROWS; show(); });
search();
