import { Link } from '@tanstack/react-router';
import { History } from 'lucide-react';
import { buttonClass } from '@/ui/button';
import { usePlace } from '@/ui/place';

/** Time before the present at which the past begins: the newest events are being read. */
const BEGIN_MS = 1_000;

/** Goes back in time on the same page. On a page of the past it is not there. */
export function PastLink() {
  if (usePlace()) return null;
  return (
    <Link
      to="."
      search={(before) => ({ ...before, at: Date.now() - BEGIN_MS }) as never}
      preload={false}
      className={buttonClass('outline')}
    >
      <History size={14} aria-hidden /> <span className="max-sm:sr-only">Go back in time</span>
    </Link>
  );
}
