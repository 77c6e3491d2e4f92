import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useState } from 'react';
import { createClient, type RoomwatchClient, type TokenSource } from './core/client';
import { type Connection, createConnection } from './core/connection';

export interface Roomwatch {
  client: RoomwatchClient;
  connection: Connection;
  /** Milliseconds between polls while the stream is down. */
  pollInterval: number;
  /** Stands before every query key. */
  keyPrefix: readonly unknown[];
}

const Context = createContext<Roomwatch | null>(null);

export interface RoomwatchProviderProps {
  /** Where Roomwatch is. Default: this origin. */
  url?: string;
  /** A LiveKit access token, or how to get one. Without it the operator's cookie speaks. */
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
  children?: ReactNode;
}

/**
 * Gives the hooks their client, their connection and their cache.
 *
 * @example
 * <RoomwatchProvider url="https://watch.example.com" token={fetchToken}>
 *   <Rooms />
 * </RoomwatchProvider>
 */
export function RoomwatchProvider(props: RoomwatchProviderProps) {
  const { url, token, project, rooms, pollInterval = 60_000, keyPrefix = [], queryClient, children } = props;
  const [cache] = useState(() => queryClient ?? new QueryClient());
  const [value] = useState<Roomwatch>(() => {
    const client = createClient({ url, token, project });
    return { client, connection: createConnection({ client, rooms }), pollInterval, keyPrefix };
  });
  useEffect(() => {
    value.connection.start();
    return () => value.connection.stop();
  }, [value]);
  return (
    <QueryClientProvider client={cache}>
      <Context.Provider value={value}>{children}</Context.Provider>
    </QueryClientProvider>
  );
}

/** The client and the connection of the provider above, for what the hooks do not cover. */
export function useRoomwatch(): Roomwatch {
  const value = useContext(Context);
  if (!value) throw new Error('This hook needs a <RoomwatchProvider> above it.');
  return value;
}
