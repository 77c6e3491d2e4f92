import { RoomwatchError } from '@roomwatch/react';

/** What to read to a person. */
export const messageOf = (error: unknown) => (error instanceof Error ? error.message : 'Something went wrong');

/** A page that explains the error, when the server names one. */
export const docsOf = (error: unknown) => (error instanceof RoomwatchError ? error.docs : null);

export const codeOf = (error: unknown) => (error instanceof RoomwatchError ? error.code : null);

export const isSignedOut = (error: unknown) => error instanceof RoomwatchError && error.status === 401;
