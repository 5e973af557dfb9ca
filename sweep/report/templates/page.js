"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => window.innerWidth < 640;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Figures follow the page's scheme and width.
  function themed(layout) {
    const changes = { "font.color": color("--ink") };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) {
        for (const part of ["gridcolor", "linecolor", "zerolinecolor"]) changes[`${key}.${part}`] = color("--line");
      }
    }
    (layout.annotations || []).forEach((_, k) => {
      changes[`annotations[${k}].font.color`] = color("--quiet");
      changes[`annotations[${k}].bgcolor`] = color("--paper");
    });
    changes["hoverlabel.bgcolor"] = color("--paper");
    changes["hoverlabel.font.color"] = color("--ink");
    return changes;
  }
  const figures = read("figure-data");
  const drawn = [];
  async function draw(element) {
    const { data, layout } = figures[element.dataset.key];
    layout.dragmode = narrow() || layout.dragmode === false ? false : "zoom";
    if (narrow() && !element.closest(".wide")) {
      layout.margin = { ...layout.margin, l: 40, r: 8 };
      layout.font = { ...layout.font, size: 11 };
    }
    await Plotly.newPlot(element, data, layout, { responsive: true, displaylogo: false });
    await Plotly.relayout(element, themed(layout));
    element.on("plotly_click", (event) => {
      const run = event.points[0] && event.points[0].customdata;
      if (typeof run === "string" && /^[0-9a-f]{8,}$/.test(run)) window.open(RUN_URL + run, "_blank", "noopener");
    });
    element.dataset.drawn = "true";
    drawn.push(element);
  }
  (async () => {
    for (const element of document.querySelectorAll(".plotly-figure")) {
      try { await draw(element); } catch (error) {
        element.textContent = `This figure cannot be drawn here: ${error.message}`;
      }
      await new Promise((resolve) => setTimeout(resolve));
    }
    document.documentElement.dataset.figures = "done";
  })();
  dark.addEventListener("change", () => drawn.forEach((e) => Plotly.relayout(e, themed(figures[e.dataset.key].layout))));

  // The table: sorted by a click or Enter on a heading, filtered by words, outcome and phase.
  const PER_PAGE = 100, OUTCOME = 3, PHASE = 1, RUN = 12;
  const rows = read("row-data");
  const texts = rows.map((row) => row.map((cell) => (cell === null ? "" : String(cell))).join("\n").toLowerCase());
  const headings = [...document.querySelectorAll("#table th")];
  const numeric = headings.map((heading) => heading.classList.contains("numeric"));
  const body = document.querySelector("#table tbody");
  const at = (id) => document.getElementById(id);
  const state = { column: 0, ascending: true, page: 0 };

  function chosen() {
    const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcome = at("outcome").value, phase = at("phase").value;
    const kept = [];
    for (let k = 0; k < rows.length; k += 1) {
      if (outcome && rows[k][OUTCOME] !== outcome) continue;
      if (phase && rows[k][PHASE] !== phase) continue;
      if (words.every((word) => texts[k].includes(word))) kept.push(rows[k]);
    }
    const { column, ascending } = state;
    const sign = ascending ? 1 : -1;
    // What is unknown comes last either way.
    return kept.sort((a, b) => {
      const x = a[column], y = b[column];
      if (x === null || y === null) return (x === null) - (y === null) || a[0] - b[0];
      const order = numeric[column] ? x - y : String(x).localeCompare(String(y));
      return sign * order || a[0] - b[0];
    });
  }

  function cell(row, column) {
    const element = document.createElement("td");
    const value = row[column];
    if (numeric[column]) element.className = "numeric";
    if (value === null || value === "") return element;
    if (column === RUN) {
      const link = document.createElement("a");
      link.href = RUN_URL + encodeURIComponent(value);
      link.target = "_blank";
      link.rel = "noopener";
      link.textContent = String(value).slice(0, 12);
      link.title = `run ${value}`;
      element.append(link);
    } else if (String(value).length > 32) {
      element.className = "long";
      const box = document.createElement("div");
      box.textContent = value;
      element.append(box);
    } else {
      element.className = numeric[column] ? "numeric" : "short";
      element.textContent = value;
    }
    return element;
  }

  function show() {
    const kept = chosen();
    const pages = Math.max(1, Math.ceil(kept.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PER_PAGE;
    body.replaceChildren(...kept.slice(first, first + PER_PAGE).map((row) => {
      const line = document.createElement("tr");
      line.append(...headings.map((_, column) => cell(row, column)));
      return line;
    }));
    at("count").textContent = `${kept.length} of ${rows.length} trials`;
    at("page").textContent = `page ${state.page + 1} of ${pages}`;
    at("previous").disabled = state.page === 0;
    at("next").disabled = state.page >= pages - 1;
    headings.forEach((heading, column) => heading.setAttribute(
      "aria-sort", column !== state.column ? "none" : state.ascending ? "ascending" : "descending"));
  }
  headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
    state.ascending = column === state.column ? !state.ascending : true;
    state.column = column;
    state.page = 0;
    show();
  }));
  for (const id of ["filter", "outcome", "phase"]) at(id).addEventListener("input", () => { state.page = 0; show(); });
  at("previous").addEventListener("click", () => { state.page -= 1; show(); });
  at("next").addEventListener("click", () => { state.page += 1; show(); });
  show();
})();
