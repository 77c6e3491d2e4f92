/**
 * Path under which the dashboard is served, without a slash at the end: "" or "/roomwatch". The server writes it into
 * `<base>`.
 */
export const basePath = new URL(document.baseURI).pathname.replace(/\/+$/, '');

/** Absolute address of the server, for commands and settings that the user copies. */
export const serverUrl = `${location.origin}${basePath}`;
