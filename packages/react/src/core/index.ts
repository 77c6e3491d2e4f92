export type * from './client';
export { createClient } from './client';
export type { Connection, ConnectionOptions, ConnectionState, ConnectionStatus } from './connection';
export { createConnection } from './connection';
export {
  compareCursors,
  covers,
  cursorBefore,
  cursorOf,
  distance,
  isAfter,
  type Position,
  parseCursor,
  sameEpoch,
  seqOf,
} from './cursor';
export { type ErrorCode, RoomwatchError } from './error';
export { isConnected } from './line';
export type * from './wire';
