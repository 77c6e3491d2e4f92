// Runs before the first paint, so that a chosen theme never flashes. Without a choice the style sheet follows the system.
try {
  const theme = localStorage.getItem('roomwatch.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (_) {
  // Storage can be forbidden; the system's preference is then the answer.
}
