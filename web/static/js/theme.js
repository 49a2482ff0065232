// Sets the theme before the first paint, and notes when a script does not come; a classic script in the head, since
// modules run later.
// "auto" (nothing kept) follows the system.
try {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch {
  // storage may be forbidden; the system's theme holds then
}

// a browser on a host whose containers come and go gives up requests ("network changed"); the page would stay empty
addEventListener("error", ({ target }) => target.tagName === "SCRIPT" && document.documentElement.classList.add("not-loaded"), true);
