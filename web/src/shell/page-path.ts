/** Addresses of the pages in the navigation. */
export type PagePath =
  | '/'
  | '/rooms'
  | '/sessions'
  | '/recordings'
  | '/calls'
  | '/agents'
  | '/usage'
  | '/events'
  | '/audit'
  | '/settings';
