/** Columns by which the list of sessions is sorted. */
export const SESSION_SORTS = ['started', 'duration', 'participants', 'agents', 'trouble', 'minutes'] as const;
export type SessionColumn = (typeof SESSION_SORTS)[number];

/** Spans that end now. */
export const SPAN_NAMES = ['1h', '24h', '7d', '30d'] as const;
export type Span = (typeof SPAN_NAMES)[number];
