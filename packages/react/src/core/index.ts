export type * from './client';
export { createClient } from './client';
export type { Connection, ConnectionOptions, ConnectionState, ConnectionStatus } from './connection';
export { createConnection } from './connection';
export { covers, distance, isAfter } from './cursor';
export { type ErrorCode, RoomwatchError } from './error';
export { isConnected } from './line';
export type * from './wire';
