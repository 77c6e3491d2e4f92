/**
 * Returns the page after signing in: a path of this site, or the overview. An address of another site is not followed:
 * an attacker could put one into a link to the sign-in page.
 */
export function returnPath(to: string | undefined): string {
  if (!to?.startsWith('/')) return '/';
  // Browsers read a backslash as a slash and drop tabs and line breaks, so the target is known only after parsing.
  const base = 'http://here.invalid';
  const url = URL.canParse(to, base) ? new URL(to, base) : null;
  if (url?.origin !== base || url.pathname.startsWith('//') || url.pathname === '/sign-in') return '/';
  return `${url.pathname}${url.search}${url.hash}`;
}
