/** Settings of this browser. If storage is forbidden or full, they last as long as the page. */
export function remember(key: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(`roomwatch.${key}`);
    else localStorage.setItem(`roomwatch.${key}`, value);
  } catch {
    // The setting is lost with the page.
  }
}

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`roomwatch.${key}`);
  } catch {
    return null;
  }
}
