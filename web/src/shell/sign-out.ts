import { useRoomwatch } from '@roomwatch/react';
import { basePath } from '@/base';
import { toast } from '@/ui/toast';

/** Ends the login, here and on the server. The page is loaded anew, so that no data stays in memory. */
export function useSignOut() {
  const { client } = useRoomwatch();
  return async () => {
    try {
      await client.logout();
      location.assign(`${basePath}/sign-in`);
    } catch (error) {
      toast.bad(error, 'Could not sign out');
    }
  };
}
