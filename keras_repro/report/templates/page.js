"use strict";
(() => {
  const held = document.getElementById("data");
  const cells = document.getElementById("cells");
  if (!held || !cells) return;
  const data = JSON.parse(held.textContent);
  const bytes = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const rows = data.rows.length;
  const columns = data.columns.length;
  const readout = document.getElementById("readout");
  let row = data.parting ? data.parting[0] : 0;
  let column = data.parting ? data.parting[1] : 0;
  let cell = null;

  function said(r, c) {
    const signed = view.getFloat32(4 * (r * columns + c), true);
    const estimated = signed < 0 || Object.is(signed, -0);
    const value = Math.abs(signed);
    const [title, name] = data.rows[r];
    const where = `${title}${name ? ` (${name})` : ""}, ${data.columns[c]}: `;
    if (Number.isNaN(value)) return where + data.unknown;
    if (value === 0) return where + data.words[0];
    const place = data.bounds.findIndex((bound) => value < bound);
    const words = data.words[place < 0 ? data.bounds.length + 1 : place + 1];
    const how = estimated ? "estimated from sketches" : "exact";
    const shown = value >= 0.001 && value < 1000 ? value.toPrecision(3) : value.toExponential(2);
    return `${where}relative distance ${shown}, ${how} (${words})`;
  }

  function put(r, c, focus) {
    row = Math.max(0, Math.min(rows - 1, r));
    column = Math.max(0, Math.min(columns - 1, c));
    // A new element each time: a screen reader tells of one that receives the focus.
    const made = document.createElement("div");
    made.className = "cell";
    made.tabIndex = 0;
    made.setAttribute("role", "gridcell");
    made.setAttribute("aria-colindex", column + 1);
    made.setAttribute("aria-label", said(row, column));
    made.dataset.row = row;
    made.dataset.column = column;
    made.style.left = `${(100 * column) / columns}%`;
    made.style.top = `${(100 * row) / rows}%`;
    made.style.width = `${100 / columns}%`;
    made.style.height = `${100 / rows}%`;
    line.setAttribute("aria-rowindex", row + 1);
    line.append(made);
    if (focus) made.focus({ preventScroll: true });
    if (cell) cell.remove();
    cell = made;
    readout.textContent = said(row, column);
  }

  function under(event) {
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
    parting: () => data.parting || [row, column],
  };
  const keys = {
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    Home: "first", End: "last", PageUp: "back", PageDown: "on", p: "parting", P: "parting",
  };

  cells.setAttribute("role", "grid");
  cells.setAttribute("aria-label", "Relative distance by layer and epoch");
  cells.setAttribute("aria-rowcount", rows);
  cells.setAttribute("aria-colcount", columns);
  const line = document.createElement("div");
  line.setAttribute("role", "row");
  cells.append(line);
  document.getElementById("inspect").hidden = false;
  put(row, column, false);

  cells.addEventListener("keydown", (event) => {
    const move = keys[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    readout.removeAttribute("aria-live");
    put(...moves[move](), true);
  });
  cells.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    put(...under(event), true);
  });
  cells.addEventListener("pointermove", (event) => {
    const [r, c] = under(event);
    if (r >= 0 && r < rows && c >= 0 && c < columns) readout.textContent = said(r, c);
  });
  cells.addEventListener("pointerleave", () => { readout.textContent = said(row, column); });
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => {
      // The focus stays on the button: what the cell says is told from here.
      readout.setAttribute("aria-live", "polite");
      put(...moves[button.dataset.move](), false);
    });
  }
})();
