export type * from './client';
export { createClient } from './client';
export type { Connection, ConnectionOptions } from './connection';
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
export type { ConnectionState, ConnectionStatus } from './status';
export type * from './wire';
