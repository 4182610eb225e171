import { CacheHistory } from '@kvfold/kv-core/history'
import { showPicture } from './show-picture.ts'

/** The script of a report: shows the picture of the data in the file. */
const { history, ...more } = JSON.parse(document.querySelector('#data')!.textContent)
showPicture(document.querySelector<HTMLElement>('#picture')!, { ...more, history: CacheHistory.from(history) })
