package android.media;

import android.os.Handler;

/** What the examples in docs/ call of Android's class of this name, for a compiler without Android's SDK. */
public class ImageReader implements AutoCloseable {
    public interface OnImageAvailableListener {
        void onImageAvailable(ImageReader reader);
    }

    public native void setOnImageAvailableListener(OnImageAvailableListener listener, Handler handler);
    public native Image acquireLatestImage();

    @Override
    public native void close();
}
