import { RoomwatchError } from '@roomwatch/react';

/** Returns a message for the user. */
export const messageOf = (error: unknown) => (error instanceof Error ? error.message : 'Something went wrong');

/** Returns the address of a page that explains the error, if the server sent one. */
export const docsOf = (error: unknown) => (error instanceof RoomwatchError ? error.docs : null);

export const codeOf = (error: unknown) => (error instanceof RoomwatchError ? error.code : null);

export const isSignedOut = (error: unknown) => error instanceof RoomwatchError && error.status === 401;
