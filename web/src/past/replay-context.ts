import type { ReplayState } from '@roomwatch/react';
import { createContext, useContext } from 'react';

/** The events around the moment, for the list of events and the corrections. */
type View = Pick<ReplayState<unknown>, 'moment' | 'past' | 'next'>;

export const ReplayContext = createContext<View>({ moment: 0, past: [], next: [] });

export const useReplay = () => useContext(ReplayContext);
