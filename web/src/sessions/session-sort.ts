/** Columns by which the list of sessions is sorted. */
export const SESSION_SORTS = ['started', 'duration', 'participants', 'agents', 'trouble', 'minutes'] as const;
export type SessionColumn = (typeof SESSION_SORTS)[number];
