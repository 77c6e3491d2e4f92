import { Link } from '@tanstack/react-router';
import { MonitorUp } from 'lucide-react';
import { buttonClass } from '@/ui/button';
import { usePlace } from '@/ui/place';

/** Shows the same page for a screen across the room. A phone is not one. */
export function WallLink() {
  if (usePlace()) return null;
  return (
    <Link
      to="."
      search={(before) => ({ ...before, wall: true }) as never}
      preload={false}
      className={buttonClass('outline', 'max-sm:hidden')}
    >
      <MonitorUp size={14} aria-hidden /> Wall
    </Link>
  );
}
