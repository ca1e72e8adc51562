// Refreshes the overview in place while the page is visible. Without this script the page works, but does not refresh.
(() => {
  const overview = document.getElementById("overview");
  if (!overview) return;
  const refresh = async () => {
    if (document.hidden || overview.contains(document.activeElement)) return;
    try {
      const response = await fetch(overview.dataset.address, { headers: { Accept: "text/html" }, redirect: "error" });
      if (response.ok) overview.innerHTML = await response.text();
    } catch { /* try again at the next interval */ }
  };
  setInterval(refresh, 3000);
})();
