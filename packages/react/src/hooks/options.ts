/** What every query about rooms takes. */
export interface ScopeOptions {
  /** Needed for a single room where several projects are watched; appended to the query key only when given. */
  project?: string;
  /** False asks nothing. */
  enabled?: boolean;
}
