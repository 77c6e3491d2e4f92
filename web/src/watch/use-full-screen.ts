import { type RefObject, useEffect, useState } from 'react';
import { toast } from '@/ui/toast';

/** Returns whether the element fills the screen, and a function that changes it: null if the browser cannot. */
export function useFullScreen(element: RefObject<HTMLElement | null>): [on: boolean, toggle: (() => void) | null] {
  const [on, setOn] = useState(false);
  useEffect(() => {
    const look = () => setOn(element.current !== null && document.fullscreenElement === element.current);
    document.addEventListener('fullscreenchange', look);
    return () => document.removeEventListener('fullscreenchange', look);
  }, [element]);
  const toggle = async () => {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await element.current?.requestFullscreen();
    } catch (error) {
      toast.bad(error, 'Full screen');
    }
  };
  return [on, document.fullscreenEnabled ? toggle : null];
}
