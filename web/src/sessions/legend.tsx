import { TriangleAlert, UserX } from 'lucide-react';
import { cx } from '@/ui/cx';
import { kinds, otherKind } from './track-kinds';

export const Legend = () => (
  <ul aria-label="Legend" className="flex flex-wrap gap-x-4 gap-y-1 border-t border-line px-4 py-2 text-xs text-ink-2">
    {[...Object.values(kinds), otherKind].map(({ icon: Icon, className, name }) => (
      <li key={name} className="flex items-center gap-1.5">
        <span className={cx('shape flex h-3.5 w-6 items-center rounded-sm pl-0.5', className)} aria-hidden>
          <Icon size={10} />
        </span>
        {name}
      </li>
    ))}
    <li className="flex items-center gap-1.5">
      <span aria-hidden className="uncertain h-3.5 w-6 rounded-sm border border-dashed border-control" />
      Left at an unknown time in this range
    </li>
    <li className="flex items-center gap-1.5">
      <TriangleAlert size={11} className="text-bad" aria-hidden /> Connection lost, or call failed
    </li>
    <li className="flex items-center gap-1.5">
      <UserX size={11} className="text-bad" aria-hidden /> Removed, or replaced by the same identity
    </li>
    <li className="ml-auto text-ink-3 max-md:hidden">Double-click to see events at that time</li>
  </ul>
);
