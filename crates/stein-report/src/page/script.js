// Sorts and filters the tables that are marked for it. Without it they are complete, in the order of the experiment.

const FEW = 4; // Fewer rows than that need no filter.
const NUMBER = /((?:(?<!\w)[-+])?\d+(?:\.\d+)?(?:e[-+]?\d+)?)/i;
const letters = new Intl.Collator("en");

// Texts in natural order: words as words, numbers within them by value.
function natural(a, b) {
  const [x, y] = [a.split(NUMBER), b.split(NUMBER)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = i % 2 ? x[i] - y[i] : letters.compare(x[i], y[i]);
    if (order) return order;
  }
  return x.length - y.length;
}

// Rows by a column, upwards (1) or downwards (-1); what is no finite number is last in either direction.
function sorted(rows, column, numeric, direction) {
  const key = row => numeric ? row.cells[column].dataset.value : row.cells[column].textContent.trim();
  const order = (a, b) => numeric ? a - b : natural(a, b);
  return rows.map(row => ({ row, key: key(row) || undefined })).sort((a, b) =>
    a.key === undefined || b.key === undefined
      ? (a.key === undefined) - (b.key === undefined)
      : direction * order(a.key, b.key)).map(keyed => keyed.row);
}

function makeSortable(table, rows) {
  const heads = [...table.tHead.rows].at(-1).cells;
  const sort = (head, column) => {
    const direction = { ascending: -1, descending: 0 }[head.ariaSort] ?? 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    if (direction) head.ariaSort = direction > 0 ? "ascending" : "descending";
    table.toggleAttribute("data-sorted", direction !== 0);
    const numeric = head.classList.contains("number");
    table.tBodies[0].append(...(direction ? sorted(rows, column, numeric, direction) : rows));
  };
  [...heads].forEach((head, column) => {
    if (!rows.some(row => row.cells[column].textContent.trim())) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort: up, down, as it was";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head, column));
    head.append(button);
  });
}

function makeFilter(table, rows) {
  const [bar, label, field, count] = ["div", "label", "input", "span"].map(name => document.createElement(name));
  bar.className = "filter";
  field.type = "search";
  count.ariaLive = "polite";
  label.append("Filter rows ", field);
  bar.append(label, count);
  const texts = rows.map(row => [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase());
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/);
    rows.forEach((row, i) => { row.hidden = !words.every(word => texts[i].includes(word)); });
    count.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length}`;
  };
  field.addEventListener("input", filter);
  filter();
  table.parentElement.before(bar);
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const rows = [...table.tBodies[0].rows];
  makeSortable(table, rows);
  if (rows.length >= FEW) makeFilter(table, rows);
}
