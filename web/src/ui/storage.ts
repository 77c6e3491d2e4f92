/** Settings of this browser. Storage can be forbidden or full: then they last as long as the page. */
export function remember(key: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(`roomwatch.${key}`);
    else localStorage.setItem(`roomwatch.${key}`, value);
  } catch {
    // See above: nothing is lost but the memory of it.
  }
}

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`roomwatch.${key}`);
  } catch {
    return null;
  }
}
