import type { Query } from '@tanstack/react-query';
import type { ConnectionStatus } from '../core/status';

/**
 * Content of a query, so that events find it. Kept in the query's `meta`: queries of the app have none and are not
 * written to.
 */
export type Follows = { scope: string } & (
  | { kind: 'rooms' | 'attention'; project?: string }
  | { kind: 'room' | 'participants'; name: string; project?: string }
  | { kind: 'session'; sid: string }
  | { kind: 'sessions' | 'egress' | 'calls' | 'agents' | 'projects' | 'me' }
);

/** A query of this package with its content. */
export interface FollowedQuery {
  query: Query;
  follows: Follows;
}

/** Returns the content of a query, or undefined for a query of the app. */
export function followsOf(query: Query): Follows | undefined {
  return query.meta?.roomwatch as Follows | undefined;
}

/** Returns true while the stream delivers nothing and a sign-in would not help: then the queries poll. */
export function isDown(status: ConnectionStatus): boolean {
  return status === 'polling' || status === 'stale' || status === 'too_many';
}
