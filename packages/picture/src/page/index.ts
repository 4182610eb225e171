export type { PictureData } from '../picture-data.ts'
export { showPicture, type ShownPicture } from './show-picture.ts'
