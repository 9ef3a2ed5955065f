"use strict";
(() => {
  const root = document.documentElement, KEY = "tracin-dask-theme";
  const stored = (value) => {
    try {
      if (value) localStorage.setItem(KEY, value);
      return localStorage.getItem(KEY);
    } catch { return null; }
  };
  root.classList.add("js");
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  const theme = (button) => {
    const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; stored(root.dataset.theme); name(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
  };

  const valueOf = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const compare = (a, b, isNumber) => isNumber ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
  const sort = (head) => {
    const table = head.closest("table"), body = table.tBodies[0], isNumber = head.classList.contains("n");
    const first = isNumber && !head.dataset.up ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort"), next = now === null ? first : now === "ascending" ? "descending" : "ascending";
    const sign = next === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [row, valueOf(row, head.cellIndex)]);
    rows.sort(([, a], [, b]) => (a === "") - (b === "") || sign * compare(a, b, isNumber));
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", next);
    body.append(...rows.map(([row]) => row));
    show(table);
  };

  const words = () => (document.getElementById("search")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const show = (table) => {
    const wanted = words(), limit = Number(table.dataset.limit), more = document.getElementById(`${table.id}-more`);
    const isShort = more && more.getAttribute("aria-expanded") === "false" && !wanted.length;
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      row.dataset.text ??= row.textContent.toLowerCase();
      const isFound = wanted.every((word) => row.dataset.text.includes(word));
      count += isFound;
      row.hidden = !isFound || (isShort && count > limit);
    }
    if (more) more.hidden = wanted.length > 0 || table.tBodies[0].rows.length <= limit;
    return count;
  };
  const search = () => {
    const tables = all("table.searched"), found = tables.map(show).reduce((sum, count) => sum + count, 0);
    const rows = tables.reduce((sum, table) => sum + table.tBodies[0].rows.length, 0);
    document.getElementById("found").textContent = words().length ? `${found} of ${rows} rows` : "";
  };

  const centre = (box) => { // a drawing that is too wide begins where most of its arrows are
    const middles = all(".mark", box).map((mark) => mark.getBoundingClientRect()).map((mark) => mark.left + mark.width / 2);
    const mean = middles.reduce((sum, middle) => sum + middle, 0) / middles.length;
    if (middles.length) box.scrollLeft = mean - box.getBoundingClientRect().left - box.clientWidth / 2;
  };

  document.addEventListener("DOMContentLoaded", () => {
    all(".theme").forEach(theme);
    all("thead button").forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));
    document.getElementById("search")?.addEventListener("input", search);
    all(".more").forEach((more) => more.addEventListener("click", () => {
      const isOpen = more.getAttribute("aria-expanded") === "true";
      more.setAttribute("aria-expanded", String(!isOpen));
      more.textContent = isOpen ? more.dataset.open : more.dataset.close;
      show(document.getElementById(more.getAttribute("aria-controls")));
    }));
    all("table.searched").forEach(show);
    all(".scroll").filter((box) => box.querySelector(".drawing")).forEach(centre);
  });
  addEventListener("beforeprint", () => all("details:not(.raw)").forEach((one) => { one.open = true; }));
})();
