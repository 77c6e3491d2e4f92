import { useRouter } from '@tanstack/react-router';
import type { ComponentProps } from 'react';
import { basePath } from '@/base';

/**
 * A link within the dashboard for lists that are drawn many times a second: the router's own works its address out anew on
 * each render and listens to every navigation, which at fifty rows a frame is most of the frame. `href` begins below the base.
 */
export function PlainLink({ href, ...props }: ComponentProps<'a'> & { href: string }) {
  const { history } = useRouter();
  const address = `${basePath}${href}`;
  return (
    <a
      href={address}
      onClick={(event) => {
        // A new tab, a download or a context menu stay the browser's.
        if (
          event.defaultPrevented ||
          event.button !== 0 ||
          event.metaKey ||
          event.ctrlKey ||
          event.shiftKey ||
          event.altKey
        )
          return;
        event.preventDefault();
        history.push(address);
      }}
      {...props}
    />
  );
}
