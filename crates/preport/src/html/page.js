(() => {
  "use strict";
  const form = document.querySelector(".filters");
  const blocks = [...document.querySelectorAll("#findings article")];
  const rows = [...document.querySelectorAll("#findings .places > li")];
  if (!form || rows.length === 0) return;
  const [text, secret, layer] = ["text", "secret", "layer"].map((name) => form.elements.namedItem(name));
  const count = form.querySelector("output");
  const known = new Set([...layer.options].map((option) => option.value));
  const links = [...document.querySelectorAll(".layers a[data-layer]")].filter((link) => known.has(link.dataset.layer));
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const block of blocks) {
      const fitting = secret.value === "" || block.dataset.secret.split(" ").includes(secret.value);
      const named = block.querySelector("h3").textContent.toLowerCase().includes(wanted);
      let visible = 0;
      for (const row of block.querySelectorAll(".places > li")) {
        const fits = fitting && (named || row.textContent.toLowerCase().includes(wanted))
          && (layer.value === "" || row.dataset.layer === layer.value);
        row.hidden = !fits;
        if (fits) visible += 1;
      }
      block.hidden = visible === 0;
      shown += visible;
    }
    count.value = `${shown} of ${rows.length} shown`;
    for (const link of links) link.setAttribute("aria-pressed", String(layer.value === link.dataset.layer));
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const link of links) {
    link.setAttribute("role", "button");
    link.addEventListener("click", (event) => {
      event.preventDefault();
      layer.value = layer.value === link.dataset.layer ? "" : link.dataset.layer;
      apply();
      if (layer.value !== "") document.getElementById("findings").scrollIntoView();
    });
    link.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); link.dispatchEvent(new MouseEvent("click", { cancelable: true })); }
    });
  }
  apply();
})();
