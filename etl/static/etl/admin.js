// Refreshes the overview in place while the page is looked at. Without this script the page is only still.
(() => {
  const overview = document.getElementById("overview");
  if (!overview) return;
  const refresh = async () => {
    if (document.hidden || overview.contains(document.activeElement)) return;
    try {
      const answer = await fetch(overview.dataset.address, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.ok) overview.innerHTML = await answer.text();
    } catch { /* the next time, perhaps */ }
  };
  setInterval(refresh, 3000);
})();
