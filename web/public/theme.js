// Runs before the first paint, so that the chosen theme does not flash. Without a choice the style sheet follows the system.
try {
  const theme = localStorage.getItem('roomwatch.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (_) {
  // Storage can be forbidden. Then the theme of the system is used.
}
