// Sets the theme before the first paint; a classic script in the head, since modules run later.
// "auto" (nothing kept) follows the system.
try {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch {
  // storage may be forbidden; the system's theme holds then
}
