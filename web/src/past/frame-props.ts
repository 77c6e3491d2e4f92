import type { ReactNode } from 'react';

export interface PastFrameProps {
  /** Moment of the address: unix milliseconds or a cursor. */
  at: number | string;
  /** Range of the address: `rangeOf`. */
  range: string | undefined;
  /** Room of the page, or undefined on the pages about all rooms. */
  room: string | undefined;
  project: string | undefined;
  children: ReactNode;
}
