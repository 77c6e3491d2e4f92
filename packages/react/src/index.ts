export * from './core/index';
export type { RoomOptions, ScopeOptions } from './hooks/options';
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
export { useRoom, useRoomEgress, useRoomIngress } from './hooks/useRoom';
export { useRoomParticipants } from './hooks/useRoomParticipants';
export { useRooms } from './hooks/useRooms';
export { useSendData } from './hooks/useSendData';
export { useSession } from './hooks/useSession';
export { type SessionsOptions, useSessions } from './hooks/useSessions';
export { useUpdateParticipant } from './hooks/useUpdateParticipant';
export { useUpdateRoom } from './hooks/useUpdateRoom';
export { type Roomwatch, RoomwatchProvider, type RoomwatchProviderProps, useRoomwatch } from './RoomwatchProvider';
