/** Addresses of the pages in the navigation and in the palette. */
export type PagePath =
  | '/'
  | '/rooms'
  | '/watch'
  | '/sessions'
  | '/recordings'
  | '/calls'
  | '/agents'
  | '/usage'
  | '/events'
  | '/audit'
  | '/settings'
  | '/cluster';
