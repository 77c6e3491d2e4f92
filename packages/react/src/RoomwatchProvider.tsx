import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from 'react';
import { Cache } from './cache/cache';
import { createClient, type RoomwatchClient, type TokenSource } from './core/client';
import { type Connection, createConnection } from './core/connection';

export interface Roomwatch {
  client: RoomwatchClient;
  connection: Connection;
  cache: Cache;
  /** Milliseconds between polls while the stream is down. */
  pollInterval: number;
  /** Stands before every query key. */
  keyPrefix: readonly unknown[];
  /** The rooms that the stream tells of; all when absent. */
  rooms?: string[];
  /** Whether a token speaks, and not the cookie. */
  hasToken: boolean;
  /** Tells the queries of this provider from another's in the same cache. */
  scope: string;
}

const Context = createContext<Roomwatch | null>(null);

export interface RoomwatchProviderProps {
  /** Where Roomwatch is. Default: this origin. */
  url?: string;
  /**
   * A LiveKit access token, or how to get one; asked at every opening of the stream and every request. Without it the
   * operator's cookie speaks. Changing a string opens a new stream; for another user give the provider another `key`.
   */
  token?: TokenSource;
  /** Narrows everything to one project. */
  project?: string;
  /** Narrows the stream to these rooms. */
  rooms?: string[];
  /** Milliseconds between polls while the stream is down. Default 60,000. */
  pollInterval?: number;
  /** Stands before every query key, so that the keys of an existing app stay its own. */
  keyPrefix?: readonly unknown[];
  /** Of an existing app. Default: one of our own. */
  queryClient?: QueryClient;
  /** For tests, and for platforms without one. */
  EventSource?: typeof EventSource;
  children?: ReactNode;
}

/**
 * Opens the stream of its scope and gives the hooks below their client, their connection and their cache.
 *
 * @example
 * <RoomwatchProvider url="https://watch.example.com" token={fetchToken}>
 *   <Rooms />
 * </RoomwatchProvider>
 */
export function RoomwatchProvider(props: RoomwatchProviderProps) {
  const { url, token, project, rooms, pollInterval = 60_000, keyPrefix = [], children } = props;
  const [ownClient] = useState(() => props.queryClient ?? new QueryClient());
  const queryClient = props.queryClient ?? ownClient;
  const latest = useRef(props);
  latest.current = props;
  const prefixText = JSON.stringify(keyPrefix);
  const roomsText = JSON.stringify(rooms);
  const tokenText = typeof token === 'string' ? token : typeof token;
  // The texts stand for arrays that are new at every render; the token itself is read when it is needed.
  const value = useMemo<Roomwatch>(() => {
    let connection: Connection | undefined;
    const client = createClient({
      url,
      project,
      token: token === undefined ? undefined : () => resolve(latest.current.token),
      onSettled: (error) => connection?.settled(error),
    });
    connection = createConnection({ client, rooms, EventSource: latest.current.EventSource });
    const scope = JSON.stringify([client.base, project, rooms, keyPrefix]);
    const cache = new Cache(connection, queryClient, scope);
    return { client, connection, cache, pollInterval, keyPrefix, rooms, hasToken: token !== undefined, scope };
  }, [url, project, roomsText, prefixText, tokenText, pollInterval, queryClient]);

  useEffect(() => {
    // The cache listens before the first frame can come.
    const stop = value.cache.start();
    value.connection.start();
    return () => {
      value.connection.stop();
      stop();
    };
  }, [value]);

  return (
    <QueryClientProvider client={queryClient}>
      <Context.Provider value={value}>{children}</Context.Provider>
    </QueryClientProvider>
  );
}

async function resolve(token: TokenSource | undefined): Promise<string> {
  return (typeof token === 'function' ? await token() : token) ?? '';
}

/** For hooks that can do without. */
export function useOptionalRoomwatch(): Roomwatch | null {
  return useContext(Context);
}

/** The client and the connection of the provider above, for what the hooks do not cover. */
export function useRoomwatch(): Roomwatch {
  const value = useContext(Context);
  if (!value) throw new Error('This hook needs a <RoomwatchProvider> above it.');
  return value;
}
