"use strict";
(() => {
  const source = document.getElementById("data");
  const cells = document.getElementById("cells");
  if (!source || !cells) return;
  const data = JSON.parse(source.textContent);
  const bytes = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const rows = data.rows.length;
  const columns = data.columns.length;
  const readout = document.getElementById("readout");
  let [row, column] = data.mark || [0, 0];
  let cell = null;

  function describe(r, c) {
    const signed = view.getFloat32(4 * (r * columns + c), true);
    const estimated = signed < 0 || Object.is(signed, -0);
    const value = Math.abs(signed);
    const [title, name] = data.rows[r];
    const place = `${title}${name ? ` (${name})` : ""}, ${data.columns[c]}: `;
    if (Number.isNaN(value)) return place + data.unknown;
    if (value === 0) return place + data.words[0];
    const bound = data.bounds.findIndex((upper) => value < upper);
    const words = data.words[bound < 0 ? data.bounds.length + 1 : bound + 1];
    const how = estimated ? "estimated from sketches" : "exact";
    const shown = value >= 0.001 && value < 1000 ? value.toPrecision(3) : value.toExponential(2);
    return `${place}relative distance ${shown}, ${how} (${words})`;
  }

  function select(r, c, focus) {
    row = Math.max(0, Math.min(rows - 1, r));
    column = Math.max(0, Math.min(columns - 1, c));
    // A new element each time: screen readers announce an element that receives the focus.
    const selected = document.createElement("div");
    selected.className = "cell";
    selected.tabIndex = 0;
    selected.setAttribute("role", "gridcell");
    selected.setAttribute("aria-colindex", column + 1);
    selected.setAttribute("aria-label", describe(row, column));
    selected.dataset.row = row;
    selected.dataset.column = column;
    selected.style.left = `${(100 * column) / columns}%`;
    selected.style.top = `${(100 * row) / rows}%`;
    selected.style.width = `${100 / columns}%`;
    selected.style.height = `${100 / rows}%`;
    line.setAttribute("aria-rowindex", row + 1);
    line.append(selected);
    if (focus) selected.focus({ preventScroll: true });
    if (cell) cell.remove();
    cell = selected;
    readout.textContent = describe(row, column);
  }

  function cellUnder(event) {
    const box = cells.getBoundingClientRect();
    return [
      Math.floor((rows * (event.clientY - box.top)) / box.height),
      Math.floor((columns * (event.clientX - box.left)) / box.width),
    ];
  }

  const moves = {
    left: () => [row, column - 1],
    right: () => [row, column + 1],
    up: () => [row - 1, column],
    down: () => [row + 1, column],
    first: () => [row, 0],
    last: () => [row, columns - 1],
    back: () => [row - 10, column],
    on: () => [row + 10, column],
    divergence: () => data.mark || [row, column],
  };
  const keys = {
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    Home: "first", End: "last", PageUp: "back", PageDown: "on", p: "divergence", P: "divergence",
  };

  cells.setAttribute("role", "grid");
  cells.setAttribute("aria-label", "Relative distance by layer and epoch");
  cells.setAttribute("aria-rowcount", rows);
  cells.setAttribute("aria-colcount", columns);
  const line = document.createElement("div");
  line.setAttribute("role", "row");
  cells.append(line);
  document.getElementById("inspect").hidden = false;
  select(row, column, false);

  cells.addEventListener("keydown", (event) => {
    const move = keys[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    readout.removeAttribute("aria-live");
    select(...moves[move](), true);
  });
  cells.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    select(...cellUnder(event), true);
  });
  cells.addEventListener("pointermove", (event) => {
    const [r, c] = cellUnder(event);
    if (r >= 0 && r < rows && c >= 0 && c < columns) readout.textContent = describe(r, c);
  });
  cells.addEventListener("pointerleave", () => { readout.textContent = describe(row, column); });
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => {
      // The focus stays on the button, so announce the text of the cell from here.
      readout.setAttribute("aria-live", "polite");
      select(...moves[button.dataset.move](), false);
    });
  }
})();
