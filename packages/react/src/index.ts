export type * from './core/client';
export { createClient } from './core/client';
export type {
  Connection,
  ConnectionOptions,
  ConnectionState,
  ConnectionStatus,
} from './core/connection';
export { createConnection } from './core/connection';
export { distance, isAfter } from './core/cursor';
export { type ErrorCode, RoomwatchError } from './core/error';
export { isConnected } from './core/line';
export type * from './core/wire';
export type { ScopeOptions } from './hooks/options';
export { type ActivityOptions, useActivity } from './hooks/useActivity';
export { useConnection } from './hooks/useConnection';
export { useCreateRoom } from './hooks/useCreateRoom';
export { useDeleteRoom } from './hooks/useDeleteRoom';
export { useMe } from './hooks/useMe';
export { useMuteTrack } from './hooks/useMuteTrack';
export { useProjects } from './hooks/useProjects';
export {
  type EventsFilter,
  keysOf,
  matches,
  type RealtimeEvents,
  type RealtimeEventsOptions,
  useRealtimeEvents,
} from './hooks/useRealtimeEvents';
export { useRemoveParticipant } from './hooks/useRemoveParticipant';
export { useRoom } from './hooks/useRoom';
export type * from './hooks/useRoomConnection';
export { useRoomParticipants } from './hooks/useRoomParticipants';
export { useRooms } from './hooks/useRooms';
export { useSendData } from './hooks/useSendData';
export { useSession } from './hooks/useSession';
export { type SessionsOptions, useSessions } from './hooks/useSessions';
export type * from './hooks/useSocketEvents';
export { useUpdateParticipant } from './hooks/useUpdateParticipant';
export { useUpdateRoom } from './hooks/useUpdateRoom';
export { type Roomwatch, RoomwatchProvider, type RoomwatchProviderProps, useRoomwatch } from './RoomwatchProvider';
