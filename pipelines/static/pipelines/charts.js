// Charts in what was swapped into a page: the theme draws those only that the page came with.
"use strict";

document.addEventListener("htmx:afterSettle", () => {
  const charts = [...document.querySelectorAll("canvas.chart")];
  const drawn = charts.filter((canvas) => Chart.getChart(canvas));
  if (drawn.length === charts.length) return;
  drawn.forEach((canvas) => canvas.classList.remove("chart"));
  renderCharts();
  drawn.forEach((canvas) => canvas.classList.add("chart"));
});
