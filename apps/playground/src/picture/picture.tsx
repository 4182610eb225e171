import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { showPicture, type PictureData } from '@kvfold/picture/page'

/** What was kept: the picture of a cache's history. */
export function Picture({ history, pieces, documentTokens }: PictureData): JSX.Element {
  const root = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const picture = showPicture(root.current!, { history, pieces, documentTokens })
    return () => picture.close()
  }, [history, pieces, documentTokens])
  return <div ref={root} />
}
