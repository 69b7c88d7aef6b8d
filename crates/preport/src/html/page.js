(() => {
  "use strict";
  const form = document.querySelector(".filters");
  const rows = [...document.querySelectorAll("#findings tbody tr")];
  if (!form || rows.length === 0) return;
  const [text, secret, layer] = ["text", "secret", "layer"].map((name) => form.elements.namedItem(name));
  const count = form.querySelector("output");
  const known = new Set([...layer.options].map((option) => option.value));
  const cells = [...document.querySelectorAll(".map a[data-layer]")].filter((cell) => known.has(cell.dataset.layer));
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (wanted === "" || row.textContent.toLowerCase().includes(wanted))
        && (secret.value === "" || row.dataset.secret.split(" ").includes(secret.value))
        && (layer.value === "" || row.dataset.layer === layer.value);
      row.hidden = !fits;
      if (fits) shown += 1;
    }
    count.value = `${shown} of ${rows.length} shown`;
    for (const cell of cells) cell.setAttribute("aria-pressed", String(layer.value === cell.dataset.layer));
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const cell of cells) {
    cell.setAttribute("role", "button");
    cell.addEventListener("click", (event) => {
      event.preventDefault();
      layer.value = layer.value === cell.dataset.layer ? "" : cell.dataset.layer;
      apply();
    });
    cell.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); cell.dispatchEvent(new MouseEvent("click", { cancelable: true })); }
    });
  }
  apply();
})();
