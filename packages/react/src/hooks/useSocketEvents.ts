import type { TokenSource } from '../core/client';
import type { RealtimeEvents, RealtimeEventsOptions } from './useRealtimeEvents';

export interface SocketEventsOptions extends Omit<RealtimeEventsOptions, 'mode' | 'keyPrefix'> {
  url?: string;
  token?: TokenSource;
}

export type SocketEvents = RealtimeEvents & { error: Error | null };
