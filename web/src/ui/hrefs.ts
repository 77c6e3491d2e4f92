import { defaultStringifySearch } from '@tanstack/react-router';

/** Addresses below the base, for {@link PlainLink}. */
export const roomHref = (
  name: string,
  search: { project?: string; sid?: string; at?: number | string; range?: string },
) => `/rooms/${encodeURIComponent(name)}${defaultStringifySearch(search)}`;

export const participantHref = (identity: string, search: { project?: string }) =>
  `/participants/${encodeURIComponent(identity)}${defaultStringifySearch(search)}`;

export const eventsHref = (search: { at?: string; room?: string }) => `/events${defaultStringifySearch(search)}`;
