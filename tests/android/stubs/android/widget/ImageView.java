package android.widget;

import android.graphics.Bitmap;
import android.view.View;

/** What the examples in docs/ call of Android's class of this name, for a compiler without Android's SDK. */
public class ImageView extends View {
    public native void setImageBitmap(Bitmap bitmap);
}
